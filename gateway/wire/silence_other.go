//go:build !linux

package wire

import "time"

// Silence is for how long nothing has come of the peer; not known here.
func (s *Socket) Silence() (silence time.Duration, known bool) { return 0, false }
