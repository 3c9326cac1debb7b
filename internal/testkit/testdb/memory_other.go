//go:build !linux

package testdb

// InMemory is empty: the server's files are on disk.
func InMemory() string { return "" }
