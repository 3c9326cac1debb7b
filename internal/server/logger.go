package server

import (
	"log/slog"
	"math"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// LibraryLogger is log for the library, which writes through log/slog.
func LibraryLogger(log *zap.Logger) *slog.Logger {
	const never = slog.Level(math.MaxInt)
	return slog.New(zapslog.NewHandler(log.Core(), zapslog.AddStacktraceAt(never)))
}
