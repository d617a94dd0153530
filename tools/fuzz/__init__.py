"""`make fuzz`: what others send, as odd as it gets, against "no crash, no read outside, bounded"."""
