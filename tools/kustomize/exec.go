package main

import (
	"os"
	"strconv"
	"syscall"
)

// start becomes another program, in the same process and with the same environment, that ends with the process `parent`
// which has started us. Only a process can ask for that, and Python cannot between its fork and the program.
func start(parent string, command []string) error {
	number, err := strconv.Atoi(parent)
	if err != nil {
		return err
	}
	endWithParent()
	if os.Getppid() != number { // it had ended before we asked
		return syscall.ESRCH
	}
	return syscall.Exec(command[0], command, os.Environ())
}
