"""What the checks of the templates know: CloudFormation's functions, IAM's statements, the Rust sources."""
