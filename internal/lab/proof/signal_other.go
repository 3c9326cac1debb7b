//go:build !unix

package proof

import (
	"errors"
	"os"
)

func signalFreeze(*os.Process) error { return errors.ErrUnsupported }

func signalThaw(*os.Process) error { return errors.ErrUnsupported }
