"""The store's front: DynamoDB JSON 1.0 over HTTP."""
