package dbtest

import (
	"context"
	"errors"
)

func startContainer(context.Context) (string, func(context.Context) error, error) {
	return "", nil, errors.New("none")
}
