package store

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// tryReads finds out whether Redis can serve a session, by the commands that one uses: unless reads that went well
// show it, and nothing makes that doubtful.
func (w *watcher) tryReads(doubtful bool) {
	w.trying.Lock()
	defer w.trying.Unlock()
	now := time.Now()
	w.mu.Lock()
	known := !doubtful && w.readErr == nil && now.Sub(w.readGood) < w.store.timing.fresh
	if known {
		w.tried = nil
	}
	ask := w.live && !known && now.Sub(w.triedAt) >= w.store.timing.judge
	w.mu.Unlock()
	if !ask {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.store.timing.canary)
	defer cancel()
	err := w.store.probe(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.triedAt, w.tried = time.Now(), err
	if err == nil && now.After(w.readGood) {
		w.readGood = now
	}
}

// doubts tries to read whenever it is not clear whether that is possible at all.
func (w *watcher) doubts(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.doubt:
			w.tryReads(true)
		}
	}
}

// probe reads what a session reads, of a user that there is not. The error names the command that failed.
func (s *Store) probe(ctx context.Context) error {
	nobody := s.watch.process
	set := s.keys.set(nobody, "rooms")
	pipe := s.alone.Pipeline()
	asked := []redis.Cmder{
		pipe.GetRange(ctx, s.keys.text(), 0, 0),
		pipe.SScan(ctx, set, 0, "", pieceMembers),
		pipe.SCard(ctx, set),
		pipe.PTTL(ctx, set),
		pipe.Exists(ctx, s.keys.revoked(nobody)),
		pipe.SMIsMember(ctx, s.keys.blocked(), nobody),
	}
	_, _ = pipe.Exec(ctx)
	for _, command := range asked {
		if err := command.Err(); err != nil && !redis.HasErrorPrefix(err, wrongType) {
			return fmt.Errorf("%s: %w", command.Name(), err)
		}
	}
	return nil
}
