"""Feature imprint: what a reward model pays for, feature by feature, with the prompt fixed."""
