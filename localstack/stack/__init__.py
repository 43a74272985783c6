"""What brings the AWS stack up on one machine, and takes it down. Standard library only."""
