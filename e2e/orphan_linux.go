package e2e

import (
	"os/exec"
	"syscall"
)

// leaveNoOrphan has the kernel kill the program if the tests end without having
// done so.
func leaveNoOrphan(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
