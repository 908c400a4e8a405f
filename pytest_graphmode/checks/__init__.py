"""What a test can assert: values, control flow, gradients and counts."""
