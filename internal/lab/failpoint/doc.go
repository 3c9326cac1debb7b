// Package failpoint makes database calls fail at random, for proofs: before they are
// sent, after they were executed, late, or with the end of the process. It is compiled
// only with the build tag failpoint. Without the tag Wrap returns its argument.
//
// The environment variable PENSTOCK_FAILPOINTS, "seed:calls", makes one in so many
// calls fail. Without it none fails.
package failpoint

// Variable is the name of the environment variable.
const Variable = "PENSTOCK_FAILPOINTS"

// ExitCode is the exit code of a process that a failpoint ended.
const ExitCode = 9
