//go:build !unix

package main

import "os"

// terminalWidth is unknown here, so nothing is cut.
func terminalWidth(*os.File) int { return 0 }
