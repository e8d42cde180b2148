package registry

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// run writes what is marked, and beats, until ctx ends.
func (r *Registry) run(ctx context.Context) {
	for ctx.Err() == nil {
		// A write of everything that Redis does not confirm is not repeated before the next beat.
		if ok, whole := r.write(ctx); !ok && !whole {
			continue
		}
		wait, kick := r.timing.beat, r.kick
		if r.failing {
			wait, kick = r.timing.retry, nil
		}
		select {
		case <-time.After(wait):
		case <-kick:
			select {
			case <-time.After(r.timing.gather):
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	}
}

// write brings Redis up to date. ok is false when Redis has something else than it should; whole tells whether
// everything was written, or could not be.
func (r *Registry) write(ctx context.Context) (ok, whole bool) {
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	now := time.Now()
	r.mu.Lock()
	if now.Sub(r.checked) >= r.timing.check {
		r.everything()
	}
	whole = r.whole
	batch := r.take()
	want := int64(len(r.live))
	r.mu.Unlock()

	var has int64
	var err error
	if whole {
		err = r.findStrangers(ctx, &batch)
	}
	if err == nil {
		has, err = r.send(ctx, batch)
	}
	ok = err == nil && has == want
	if !ok {
		r.mu.Lock()
		r.everything()
		r.mu.Unlock()
	} else if whole {
		r.checked = now
	}
	r.report(ctx, err)
	return ok, whole || err != nil
}

// report logs when writing begins to fail, and when it works again.
func (r *Registry) report(ctx context.Context, err error) {
	failing := err != nil && ctx.Err() != context.Canceled
	if failing && !r.failing {
		r.log.Warn("sessions not registered", "err", err.Error())
	} else if err == nil && r.failing {
		r.log.Info("sessions are registered again")
	}
	r.failing = failing
}

// registryBatch is what is to be written.
type registryBatch struct {
	here []*SessionInfo
	gone []string
}

// take returns what is marked, and takes the marks away. mu is held.
func (r *Registry) take() (b registryBatch) {
	if r.whole {
		b.here = make([]*SessionInfo, 0, len(r.live))
		for _, info := range r.live {
			b.here = append(b.here, info)
		}
		r.whole = false
		return b
	}
	for id := range r.changed {
		if info := r.live[id]; info != nil {
			b.here = append(b.here, info)
		} else {
			b.gone = append(b.gone, id)
		}
	}
	clear(r.changed)
	return b
}

// findStrangers adds to a batch of all sessions that live those that Redis has and that do not.
func (r *Registry) findStrangers(ctx context.Context, b *registryBatch) error {
	ids, err := r.client.HKeys(ctx, r.keys.sessions(r.id)).Result()
	if err != nil {
		return err
	}
	known := make(map[string]struct{}, len(b.here))
	for _, info := range b.here {
		known[info.Session] = struct{}{}
	}
	for _, id := range ids {
		if _, ok := known[id]; !ok {
			b.gone = append(b.gone, id)
		}
	}
	return nil
}

// send writes a batch and puts off the end of the keys. It returns how many sessions Redis has then.
func (r *Registry) send(ctx context.Context, b registryBatch) (has int64, err error) {
	var fields []any
	for _, info := range b.here {
		text, err := json.Marshal(info)
		if err != nil {
			return 0, err
		}
		fields = append(fields, info.Session, text)
	}
	hash := r.keys.sessions(r.id)
	sets := slices.Collect(slices.Chunk(fields, 2*registryFields))
	dels := slices.Collect(slices.Chunk(b.gone, registryFields))
	for last := false; !last; {
		nSets := min(len(sets), registryCommands)
		nDels := min(len(dels), registryCommands)
		last = nSets == len(sets) && nDels == len(dels)
		var length *redis.IntCmd
		// No transaction: the name says whether the instance lives, and has its end from the beginning.
		_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, r.keys.instance(r.id), r.name, r.timing.ttl)
			p.SAdd(ctx, r.keys.instances(), r.id)
			for _, ids := range dels[:nDels] {
				p.HDel(ctx, hash, ids...)
			}
			for _, pairs := range sets[:nSets] {
				p.HSet(ctx, hash, pairs...)
			}
			p.PExpire(ctx, hash, r.timing.ttl)
			length = p.HLen(ctx, hash)
			return nil
		})
		if err != nil {
			return 0, err
		}
		has, sets, dels = length.Val(), sets[nSets:], dels[nDels:]
	}
	return has, nil
}
