"""What the checks of the suite know: CloudFormation's functions, IAM's statements, the Rust sources, the READMEs."""
