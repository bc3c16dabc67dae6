package embed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zap returns the logger for etcd. What etcd finds worth telling is of one part
// of the agent only, so each level comes out one lower, and what it says while
// it is being closed is for debugging.
//
// etcd calls "fatal" what it cannot go on after, a full disk for instance, and
// leaves the process then. This process has a primary to fence, so only the
// goroutine that met it ends, and Done tells of it.
func (m *Member) zap() *zap.Logger {
	end := endsGoroutine{m}
	return zap.New(&bridge{m: m, to: m.log.With("part", "etcd")}, zap.WithFatalHook(end), zap.WithPanicHook(end))
}

type endsGoroutine struct{ m *Member }

// OnWrite implements zapcore.CheckWriteHook.
func (e endsGoroutine) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New(ce.Message)
	for _, f := range fields {
		if cause, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			err = fmt.Errorf("%s: %w", ce.Message, cause)
		}
	}
	select {
	case e.m.fatal <- err:
	default: // the first one counts
	}
	runtime.Goexit()
}

// bridge is a zapcore.Core that writes to slog.
type bridge struct {
	m      *Member
	to     *slog.Logger
	fields []zapcore.Field
}

// usual are warnings that come at every start and tell nobody anything.
func usual(message string) bool {
	for _, m := range []string{"Running http and grpc server on single port", "simple token is not cryptographically signed", "failed to update storage version"} {
		if strings.HasPrefix(message, m) {
			return true
		}
	}
	return false
}

func (b *bridge) level(l zapcore.Level) slog.Level {
	switch {
	case l <= zapcore.InfoLevel, b.m.closing.Load():
		return slog.LevelDebug
	case l == zapcore.WarnLevel:
		return slog.LevelInfo
	case l == zapcore.ErrorLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// Enabled implements zapcore.Core. etcd's own debugging is never wanted.
func (b *bridge) Enabled(l zapcore.Level) bool {
	return l >= zapcore.InfoLevel && b.to.Enabled(context.Background(), b.level(l))
}

// With implements zapcore.Core.
func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	with := *b
	with.fields = slices.Concat(b.fields, fields)
	return &with
}

// Check implements zapcore.Core.
func (b *bridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) && !usual(e.Message) {
		return ce.AddCore(e, b)
	}
	return ce
}

// Write implements zapcore.Core.
func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(b.fields, fields) {
		f.AddTo(enc)
	}
	attrs := make([]slog.Attr, 0, len(enc.Fields)+1)
	attrs = append(attrs, slog.String("says", e.Message))
	for k, v := range enc.Fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	slices.SortFunc(attrs[1:], func(x, y slog.Attr) int {
		switch {
		case x.Key < y.Key:
			return -1
		case x.Key > y.Key:
			return 1
		}
		return 0
	})
	b.to.LogAttrs(context.Background(), b.level(e.Level), "etcd", attrs...)
	return nil
}

// Sync implements zapcore.Core.
func (b *bridge) Sync() error { return nil }
