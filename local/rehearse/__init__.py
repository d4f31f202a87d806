"""`make rehearse`: a real `sam deploy` of every template without AWS, against LocalStack on loopback."""
