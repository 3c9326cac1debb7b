// Package failpoint makes calls of the database fail by chance, for proofs: before they
// are sent, after they were carried out, late, or with the end of the process. It is
// there only in builds with the tag failpoint; in all others Wrap returns what it is
// given, and nothing of this is compiled.
//
// In such a build the environment's PENSTOCK_FAILPOINTS, "seed:calls", has one in so
// many calls fail, as the seed decides; without it none does.
package failpoint

// Variable is the environment's variable.
const Variable = "PENSTOCK_FAILPOINTS"

// ExitCode is that of a process which a failpoint ended.
const ExitCode = 9
