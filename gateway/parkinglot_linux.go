package gateway

import (
	"os"
	"sync"
	"syscall"
)

// parkingLot waits for the sockets of all parked pumps, by an epoll(7) descriptor of its own, and has their pumps
// go on. A pump is woken up once; it comes back by another put.
type parkingLot struct {
	mu      sync.Mutex
	epoll   int
	file    *os.File // epoll's owner, by which one goroutine waits for it; nil before the first put
	closed  bool
	places  []parked // by descriptor of the socket
	waiting sync.WaitGroup
}

// lotEvents is how many events are fetched at once.
const lotEvents = 128

// put parks p until k is readable; false: that could not be done.
func (l *parkingLot) put(k *socket, p parked) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.file == nil && !l.open() {
		return false
	}
	done := false
	err := k.raw.Control(func(fd uintptr) {
		if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{
			Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: int32(fd)}); err != nil {
			return
		}
		for int(fd) >= len(l.places) {
			l.places = append(l.places, parked{})
		}
		l.places[fd] = p
		k.parked.Store(true)
		done = true
	})
	return err == nil && done
}

// open starts the goroutine that waits. mu is held.
func (l *parkingLot) open() bool {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	_ = syscall.SetNonblock(epoll, true) // for os.NewFile: the runtime's poller waits for it
	file := os.NewFile(uintptr(epoll), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return false
	}
	l.epoll, l.file = epoll, file
	l.waiting.Go(func() { l.wait(raw) })
	return true
}

// wait wakes up pumps until the lot is closed.
func (l *parkingLot) wait(raw syscall.RawConn) {
	events := make([]syscall.EpollEvent, lotEvents)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			for {
				var err error
				if n, err = syscall.EpollWait(int(fd), events, 0); err != syscall.EINTR {
					return n > 0
				}
			}
		})
		if err != nil {
			return // closed
		}
		l.mu.Lock()
		for _, e := range events[:n] {
			l.take(int(e.Fd))
		}
		l.mu.Unlock()
	}
}

// take has the pump that is parked at fd go on, if there is one. mu is held.
func (l *parkingLot) take(fd int) {
	if fd >= len(l.places) || l.places[fd].session == nil {
		return
	}
	p := l.places[fd]
	l.places[fd] = parked{}
	_ = syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, fd, nil) // the socket is open: only its pump ends it
	p.socket().parked.Store(false)
	go p.session.pump(p.direction)
}

// wake has the pump go on that is parked at k, if it is.
func (l *parkingLot) wake(k *socket) {
	if !k.parked.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = k.raw.Control(func(fd uintptr) { l.take(int(fd)) })
}

// close lets nobody park any more. Nobody is parked when it is called.
func (l *parkingLot) close() {
	l.mu.Lock()
	l.closed = true
	file := l.file
	l.mu.Unlock()
	if file != nil {
		_ = file.Close()
	}
	l.waiting.Wait()
}
