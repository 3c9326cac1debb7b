package command

import (
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock/penstock/internal/config"
)

// Logger writes to stderr, where results never go: lines for people on a terminal,
// else a JSON object per line with an ISO time, unless the settings say which.
func (d *Process) Logger(cfg config.Config) *zap.Logger {
	level := zapcore.InfoLevel
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // config has checked it

	shape := zap.NewProductionEncoderConfig()
	shape.TimeKey, shape.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	shape.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(shape)
	if cfg.LogFormat == "console" || cfg.LogFormat != "json" && d.ErrScreen.Terminal {
		shape.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		shape.EncodeLevel = zapcore.CapitalLevelEncoder
		if d.ErrScreen.Colour {
			shape.EncodeLevel = zapcore.CapitalColorLevelEncoder
		}
		shape.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(shape)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(unsynced{d.Stderr}), level))
}

// unsynced writes through: a terminal and a pipe have nothing to sync.
type unsynced struct{ io.Writer }

func (unsynced) Sync() error { return nil }
