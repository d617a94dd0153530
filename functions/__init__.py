"""The Azure door: triggers and Durable Functions. Translates between Azure and the engine, never decides."""
