"""rules decides that something is wrong; alerts decides who hears it; notify tells them."""
