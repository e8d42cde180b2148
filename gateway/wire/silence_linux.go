package wire

import (
	"time"

	"golang.org/x/sys/unix"
)

// Silence is for how long nothing has come of the peer, as the kernel has counted; false: that is not known.
func (s *Socket) Silence() (silence time.Duration, known bool) {
	if s.raw == nil {
		return 0, false
	}
	_ = s.raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			silence, known = time.Duration(info.Last_data_recv)*time.Millisecond, true
		}
	})
	return silence, known
}
