"""What Flux's source-controller does alone: watch a source and keep its newest revision as an artifact."""
