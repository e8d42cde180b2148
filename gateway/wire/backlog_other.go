//go:build !linux

package wire

import "sync/atomic"

// Backlog is not known here.
func (s *Socket) Backlog(*atomic.Uint32) (unacknowledged, unread int, known bool) { return 0, 0, false }
