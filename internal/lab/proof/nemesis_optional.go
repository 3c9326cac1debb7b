package proof

import "time"

// optionalSchedules are nemeses that run only when named: most need longer than a short
// run, some need rules or jobs that an ordinary run does without.
func optionalSchedules(lease time.Duration) []schedule {
	const s = time.Second
	return []schedule{
		{&slowBehindFast{}, 45 * s, 0, 0},
		{&lockedRows{}, 30 * s, 5 * s, 5 * s},
		{&leakedTransactions{}, 35 * s, 5 * s, 5 * s},
		{&lostHeartbeat{}, 40 * s, lease + 6*s, lease + 9*s},
		{&stuckHandlers{}, time.Hour, 0, 0},
		{&repeatedTransactions{}, 20 * s, 0, 0},
		{&deploy{}, 6 * s, 0, 0},
	}
}

// OptionalNemeses returns the names of the nemeses that run only when named.
func OptionalNemeses() (names []string) {
	for _, p := range optionalSchedules(time.Second) {
		names = append(names, p.Name())
	}
	return names
}
