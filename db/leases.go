package db

// TraceContexts returns the trace contexts of those leases that have one.
func TraceContexts(leases []Lease) []string {
	var contexts []string
	for i := range leases {
		if text := leases[i].TraceContext; text != nil && *text != "" {
			contexts = append(contexts, *text)
		}
	}
	return contexts
}
