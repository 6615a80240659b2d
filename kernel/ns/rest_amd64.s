#include "textflag.h"

// What a process at rest executes (rest.go). It uses no Go register, no address
// but those on its stack and restData, where a zero is, and of its stack what lies
// below the strings that the kernel put there: argc, argv, 0, envp, 0. The table,
// RestTable bytes, is read from descriptor 0: the number of entries, then entries of
// poll(2).
//
// R12 argv, R13 entry, R14 entries left, R15 envp, BX entries that count.
TEXT ·restText(SB), NOSPLIT|NOFRAME, $0
	MOVQ (SP), AX
	LEAQ 8(SP), R12
	LEAQ 8(R12)(AX*8), R15

	MOVQ $157, AX // prctl
	MOVQ $15, DI  // PR_SET_NAME
	MOVQ (R12), SI
	SYSCALL

	SUBQ  $1040, SP
	MOVQ  $17, AX // pread64
	XORL  DI, DI
	MOVQ  SP, SI
	MOVQ  $1032, DX
	XORL  R10, R10
	SYSCALL
	CMPQ  AX, $1032
	JNE   wake // who wrote it sees what is wrong

wait:
	MOVQ  $7, AX // poll
	LEAQ  8(SP), DI
	MOVQ  (SP), SI
	MOVQ  $-1, DX
	SYSCALL
	CMPQ  AX, $-4 // EINTR
	JEQ   wait
	CMPQ  AX, $0
	JLE   wake
	LEAQ  8(SP), R13
	MOVQ  (SP), R14
	XORL  BX, BX

each:
	TESTQ   R14, R14
	JZ      seen
	MOVWLZX 6(R13), AX
	TESTL   AX, AX
	JZ      next
	TESTL   $0x2000, AX // POLLRDHUP, where it was asked for: poll no more
	JZ      some
	NOTL    0(R13)
	JMP     next

some:
	INCQ BX

next:
	ADDQ $8, R13
	DECQ R14
	JMP  each

seen:
	TESTQ BX, BX
	JZ    wait

wake:
	MOVQ $322, AX // execveat
	MOVQ $4, DI
	MOVQ $0x10001000, SI
	MOVQ R12, DX
	MOVQ R15, R10
	MOVQ $0x1000, R8 // AT_EMPTY_PATH
	SYSCALL
	// There is no memory, or no process, for now.
	MOVQ $7, AX
	XORL DI, DI
	XORL SI, SI
	MOVQ $100, DX
	SYSCALL
	JMP  wake

	// Here it ends (codeEnd).
	BYTE $0xb1; BYTE $0xe7; BYTE $0x0f; BYTE $0x0b; BYTE $0xe7; BYTE $0xb1; BYTE $0x0f; BYTE $0x0b

DATA ·restStart(SB)/8, $·restText(SB)
GLOBL ·restStart(SB), RODATA, $8
