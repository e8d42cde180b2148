package wire

import (
	"os"
	"sync"
	"syscall"
)

// Lot waits for the sockets of all readers that have given up their wait, by an epoll(7) descriptor of its own, and
// has them go on. P is what a reader is known by. Each is woken up once; it comes back by another put.
type Lot[P any] struct {
	resume func(P)

	mu      sync.Mutex
	epoll   int
	file    *os.File // epoll's owner, by which one goroutine waits for it; nil before the first put
	closed  bool
	places  []place[P] // by descriptor of the socket
	waiting sync.WaitGroup
}

type place[P any] struct {
	socket *Socket // nil: free
	who    P
}

// NewLot makes a lot that calls resume, on a goroutine of its own, for each that is to go on.
func NewLot[P any](resume func(P)) *Lot[P] { return &Lot[P]{resume: resume} }

// lotEvents is how many events are fetched at once.
const lotEvents = 128

// Put parks p until k is readable, or woken; false: that could not be done. When it returns true, p may be going on
// already.
func (l *Lot[P]) Put(k *Socket, p P) bool {
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
			l.places = append(l.places, place[P]{})
		}
		l.places[fd] = place[P]{k, p}
		k.parked.Store(true)
		done = true
	})
	return err == nil && done
}

// open starts the goroutine that waits. mu is held.
func (l *Lot[P]) open() bool {
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

// wait wakes them up until the lot is closed.
func (l *Lot[P]) wait(raw syscall.RawConn) {
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

// take has who is parked at fd go on, if there is one. mu is held.
func (l *Lot[P]) take(fd int) {
	if fd >= len(l.places) || l.places[fd].socket == nil {
		return
	}
	p := l.places[fd]
	l.places[fd] = place[P]{}
	_ = syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, fd, nil) // the socket is open: only its reader ends it
	p.socket.parked.Store(false)
	go l.resume(p.who)
}

// Wake has who is parked at k go on, if it is.
func (l *Lot[P]) Wake(k *Socket) {
	if !k.parked.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = k.raw.Control(func(fd uintptr) { l.take(int(fd)) })
}

// Close lets nobody park any more. Nobody is parked when it is called.
func (l *Lot[P]) Close() {
	l.mu.Lock()
	l.closed = true
	file := l.file
	l.mu.Unlock()
	if file != nil {
		_ = file.Close()
	}
	l.waiting.Wait()
}
