package store

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// canaryLife is how long the key of a gateway that is gone stays in Redis.
const canaryLife = time.Minute

// singCanaries writes the canary of each node that listens, each second and
// whenever one is wanted, through the client that reads go through.
func (w *watcher) singCanaries(ctx context.Context) {
	tick := time.NewTicker(w.store.timing.canary)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.kick:
		}
		var keys []string
		w.mu.Lock()
		for _, n := range w.nodes {
			if n.heard && n.canary != "" {
				keys = append(keys, n.canary)
				if n.asked.IsZero() {
					n.asked = time.Now()
				}
			}
		}
		w.mu.Unlock()
		if keys == nil {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, w.store.timing.canary)
		w.sing(limited, keys)
		cancel()
	}
}

// sing writes canaries. Whether that worked is seen by the invalidations. Where Redis takes no writes a canary is a
// message instead, on the channel that the connection is subscribed to: it comes through the same connection, after
// the invalidations of all that was changed before it was sent.
func (w *watcher) sing(ctx context.Context, keys []string) {
	written := make(map[string]*redis.StatusCmd, len(keys))
	_, _ = w.store.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, key := range keys {
			written[key] = pipe.Set(ctx, key, w.store.options.Instance, canaryLife)
		}
		return nil
	})
	var refused error
	taken := false
	for key, reply := range written {
		switch err := reply.Err(); {
		case err == nil:
			taken = true
		case refusesWrites(err):
			refused = err
			w.publish(ctx, key)
		}
	}
	if taken || refused != nil {
		w.noteWrites(refused)
	}
}

// refusesWrites tells the errors of a server that is what it should be, but takes no writes for now: it is full, it
// cannot save, it has too few replicas, or the gateway's user may not. A replica (READONLY) is not what it should be.
func refusesWrites(err error) bool {
	for _, prefix := range []string{"OOM", "MISCONF", "NOREPLICAS", "NOPERM"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}

// publish sends the canary named key to the server that holds that key. In a Cluster a message reaches all nodes;
// each takes its own.
func (w *watcher) publish(ctx context.Context, key string) {
	var err error
	channel := w.store.keys.gateway(w.process)
	if cluster, ok := w.store.client.(*redis.ClusterClient); ok {
		var master *redis.Client
		if master, err = cluster.MasterForKey(ctx, key); err == nil {
			err = master.Publish(ctx, channel, key).Err()
		}
	} else {
		err = w.store.client.Publish(ctx, channel, key).Err()
	}
	if err != nil {
		w.store.log.Debug("redis takes no message", "err", err)
	}
}

// noteWrites keeps, and tells once, whether Redis refuses writes.
func (w *watcher) noteWrites(refused error) {
	text := ""
	if refused != nil {
		text = refused.Error()
	}
	w.mu.Lock()
	before := w.writeErr
	w.writeErr = text
	w.mu.Unlock()
	switch {
	case text != "" && before == "":
		w.store.log.Error("redis refuses writes; rules are still read", "err", text)
	case text == "" && before != "":
		w.store.log.Info("redis takes writes again")
	}
}

// canarySeen notes that n's connection told of a canary, by an invalidation or a message.
func (w *watcher) canarySeen(n *server, key string) {
	w.mu.Lock()
	asked := n.asked
	ours := key == n.canary && n.heard && !asked.IsZero()
	first := !n.proven
	if ours {
		n.asked = time.Time{}
		if !first {
			n.seen = asked
		}
	}
	w.mu.Unlock()
	if ours && first {
		w.prove(n, asked)
	}
}
