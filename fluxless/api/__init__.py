"""What users write and read: kinds, conditions, reasons, failure classes. No I/O."""
