"""What was given: patches and mails, and the trees that they are against."""
