package store

import (
	"context"
	"fmt"
)

// Grants know of their own user whether it is blocked. Who cares for users that have no session asks here.

// BlockedChanged has a value when the set of blocked users may have changed since the last one was taken; nil without
// Redis. It is for one receiver.
func (s *Store) BlockedChanged() <-chan struct{} { return s.blockedChanged }

// BlockedUsers calls yield with the members of the set of blocked users, some at a time and some of them perhaps twice,
// until it returns false.
func (s *Store) BlockedUsers(ctx context.Context, yield func(usernames []string) bool) error {
	for cursor := uint64(0); ; {
		members, next, err := s.others.SScan(ctx, s.keys.blocked(), cursor, "", pieceMembers).Result()
		if err != nil {
			return fmt.Errorf("read the blocked users: %w", err)
		}
		if cursor = next; !yield(members) || cursor == 0 {
			return nil
		}
	}
}

// IsBlocked reports whether a user is blocked at this moment.
func (s *Store) IsBlocked(ctx context.Context, username string) (bool, error) {
	return s.others.SIsMember(ctx, s.keys.blocked(), username).Result()
}
