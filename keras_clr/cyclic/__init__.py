"""CyclicLR and CyclicSchedule: one policy, two ways to apply it."""
