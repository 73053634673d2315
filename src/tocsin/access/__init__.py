"""access decides who may do what, and keeps what was done."""
