"""The test kit and its pytest plugin, as projects that use gapless would use them."""
