package command

import (
	"runtime/debug"
)

// release is set by the linker:
// -ldflags "-X github.com/penstock/penstock/internal/command.release=v1.2.3".
var release string

// Version is what the linker set, else the module version that `go install` knows,
// else "devel".
func Version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
