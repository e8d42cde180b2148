package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// discover keeps one node for each master of a Cluster: each tells of its own
// slots only. A master that was added, or slots that moved, may have hidden
// changes, so everything is read again then.
func (w *watcher) discover(ctx context.Context, cluster *redis.ClusterClient, wg *sync.WaitGroup) {
	tick := time.NewTicker(w.store.timing.discover)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.lookAround(ctx, cluster, wg)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.look:
			// All nodes of a Cluster are lost at once now and then.
			select {
			case <-ctx.Done():
			case <-time.After(w.store.timing.judge):
			}
		}
	}
}

func (w *watcher) lookAround(ctx context.Context, cluster *redis.ClusterClient, wg *sync.WaitGroup) {
	limited, cancel := context.WithTimeout(ctx, w.store.timing.read)
	defer cancel()
	began := time.Now()
	canaries, slots, err := w.masters(limited, cluster)
	w.mu.Lock()
	w.lastErr = err
	if err != nil {
		w.mu.Unlock()
		return
	}
	since, moved := w.checked, w.slots != "" && w.slots != slots
	w.checked, w.slots = began, slots
	for addr, n := range w.nodes {
		if _, ok := canaries[addr]; !ok {
			n.cancel()
			delete(w.nodes, addr)
		}
	}
	for addr, canary := range canaries {
		n := w.nodes[addr]
		if n == nil {
			w.add(ctx, addr, canary, since, wg)
		} else if n.canary != canary {
			n.canary, n.asked = canary, time.Time{}
		}
	}
	w.mu.Unlock()
	if moved {
		w.store.reset(ResetTopology, since)
	}
	w.update()
}

// masters returns the address of each master with the name of a key that it
// owns, and a fingerprint of who owns which slots.
func (w *watcher) masters(ctx context.Context, cluster *redis.ClusterClient) (canaries map[string]string, slots string, err error) {
	canaries = make(map[string]string)
	var mu sync.Mutex
	// This also renews the client's own view.
	err = cluster.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		canaries[master.Options().Addr] = ""
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	//lint:ignore SA1019 its successor CLUSTER SHARDS does not exist before Redis 7
	ranges, err := cluster.ClusterSlots(ctx).Result()
	if err != nil {
		return nil, "", err
	}
	var lines []string
	for _, r := range ranges {
		if len(r.Nodes) > 0 {
			lines = append(lines, fmt.Sprint(r.Start, "-", r.End, " ", r.Nodes[0].ID))
		}
	}
	slices.Sort(lines)
	return canaries, strings.Join(lines, "\n"), w.nameCanaries(ctx, cluster, canaries)
}

// maxTags bounds the search for hash tags: with so many, even a master that owns
// a single one of the 16384 slots is found.
const maxTags = 1 << 18

// nameCanaries finds a canary key for each master, trying hash tags one after the
// other. When the prefix itself holds a hash tag, all our keys lie in one slot,
// and the masters that do not own it need no canary.
func (w *watcher) nameCanaries(ctx context.Context, cluster *redis.ClusterClient, canaries map[string]string) error {
	tags := maxTags
	if _, tag, ok := strings.Cut(w.store.keys.prefix, "{"); ok && strings.Index(tag, "}") > 0 {
		tags = 1
	}
	for i, left := 0, len(canaries); i < tags && left > 0; i++ {
		key := w.store.keys.canary(w.process, strconv.Itoa(i))
		master, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return err
		}
		if addr := master.Options().Addr; canaries[addr] == "" {
			if _, known := canaries[addr]; !known {
				return errors.New("the masters of the Cluster are changing")
			}
			canaries[addr] = key
			left--
		}
	}
	return nil
}
