"""DynamoDB's expression language: tokens, parser, and what each kind of expression means."""
