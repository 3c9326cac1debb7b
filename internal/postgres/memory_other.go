//go:build !linux

package postgres

// InMemory is empty: the server's files are on disk.
func InMemory() string { return "" }
