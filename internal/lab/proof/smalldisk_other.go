//go:build !linux

package proof

import "errors"

func smallDisk(string) (string, func(), error) {
	return "", nil, errors.New("only Linux can mount a small file system")
}
