"""Known physics of learning as acceptance tests: published phenomena, seen through the kit's own measurements."""
