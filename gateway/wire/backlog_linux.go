package wire

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Backlog is how many bytes that were written the peer has not acknowledged, and how many it has not read though it
// has: by so much its receive window is smaller than the largest that was seen, which the caller keeps in window. The
// second is of the last time that the peer has acknowledged something. False: that is not known.
func (s *Socket) Backlog(window *atomic.Uint32) (unacknowledged, unread int, known bool) {
	if s.raw == nil {
		return 0, 0, false
	}
	_ = s.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		if unacknowledged, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ); err != nil {
			return
		}
		if info.Snd_wnd > window.Load() {
			window.Store(info.Snd_wnd)
		}
		unread, known = max(0, int(window.Load())-int(info.Snd_wnd)), true
	})
	return unacknowledged, unread, known
}
