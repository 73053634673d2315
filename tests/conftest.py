"""What holds for every test."""

from hypothesis import settings

# A deadline would be a hidden assertion on the speed of the machine.
settings.register_profile("tocsin", deadline=None)
settings.load_profile("tocsin")
