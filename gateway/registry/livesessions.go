package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// SessionInfo describes a live session, for the admin listener.
type SessionInfo struct {
	Session  string    `json:"session"`
	User     string    `json:"user"`
	Issuer   string    `json:"issuer,omitempty"`
	ClientID string    `json:"client_id"`
	Version  string    `json:"version"`
	Remote   string    `json:"remote"`
	Upstream string    `json:"upstream"`
	Since    time.Time `json:"since"`
	Expires  time.Time `json:"expires,omitzero"`
}

// LiveSession is a session of some instance, as the registry in Redis has it.
type LiveSession struct {
	Instance string `json:"instance"` // name
	SessionInfo

	process string // id of the instance's process
}

// LiveSessions reads the live sessions of all instances, oldest first. prefix is that of the gateways' keys.
// Instances that have died are taken out of the registry.
func LiveSessions(ctx context.Context, client redis.UniversalClient, prefix string) ([]LiveSession, error) {
	keys := registryKeys{prefix}
	ids, err := client.SMembers(ctx, keys.instances()).Result()
	if err != nil {
		return nil, fmt.Errorf("registry of sessions: %w", err)
	}
	names := make([]*redis.StringCmd, len(ids))
	hashes := make([]*redis.MapStringStringCmd, len(ids))
	_, err = client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			names[i] = p.Get(ctx, keys.instance(id))
			hashes[i] = p.HGetAll(ctx, keys.sessions(id))
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("registry of sessions: %w", err)
	}
	all := []LiveSession{}
	for i, id := range ids {
		name, err := names[i].Result()
		if errors.Is(err, redis.Nil) {
			forgetInstance(ctx, client, keys, id)
			continue
		}
		fields, hashErr := hashes[i].Result()
		if err := cmp.Or(err, hashErr); err != nil {
			return nil, fmt.Errorf("registry of sessions: %w", err)
		}
		for session, text := range fields {
			live := LiveSession{Instance: name, process: id}
			if json.Unmarshal([]byte(text), &live.SessionInfo) == nil && live.Session == session {
				all = append(all, live)
			}
		}
	}
	slices.SortFunc(all, func(a, b LiveSession) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Session, b.Session))
	})
	return all, nil
}

// stillLive returns those of sessions that the registry still has.
func stillLive(ctx context.Context, client redis.UniversalClient, keys registryKeys, sessions []LiveSession) ([]LiveSession, error) {
	found := make([]*redis.BoolCmd, len(sessions))
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, s := range sessions {
			found[i] = p.HExists(ctx, keys.sessions(s.process), s.Session)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("registry of sessions: %w", err)
	}
	var live []LiveSession
	for i, s := range sessions {
		if found[i].Val() {
			live = append(live, s)
		}
	}
	return live, nil
}
