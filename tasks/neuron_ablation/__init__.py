"""Which neurons carry an objective, and does ablating one objective free the other?"""
