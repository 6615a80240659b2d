#include "textflag.h"

// What a trampoline executes (trampoline.go): it makes the calls of a script, and
// then execve. It is copied into a program of its own, where nothing of Go is:
// it uses no stack, no Go register and no address but that of its data, which is
// dataBase. Layout of the data: struct trampolineData, then calls of 10 words:
// number, five arguments, two pardons, check, step. What follows a call is told by
// its check: 1, the buffer is an absolute path; 2, no call, but look for the program;
// 3, who is the child goes on with its own calls; 4, go on with the loop; 5, nothing
// came, so it is over.
//
// R12 data, R13 call, R14 calls left, BX the program that was found.
TEXT ·trampolineText(SB), NOSPLIT|NOFRAME, $0
	MOVQ $0x10001000, R12
	MOVQ 0(R12), R14
	MOVQ 8(R12), R13

loop:
	TESTQ R14, R14
	JZ    run
	CMPQ  64(R13), $2
	JEQ   find
	MOVQ  0(R13), AX
	MOVQ  8(R13), DI
	MOVQ  16(R13), SI
	MOVQ  24(R13), DX
	MOVQ  32(R13), R10
	MOVQ  40(R13), R8
	XORL  R9, R9
	SYSCALL
	CMPQ  AX, $0xfffffffffffff001
	JLS   made
	NEGQ  AX
	CMPQ  AX, 48(R13)
	JEQ   made
	CMPQ  AX, 56(R13)
	JEQ   made
	JMP   fail

made:
	MOVQ 64(R13), CX
	CMPQ CX, $1
	JEQ  inside
	CMPQ CX, $3
	JEQ  forked
	CMPQ CX, $4
	JEQ  again
	CMPQ CX, $5
	JNE  next
	TESTQ AX, AX
	JZ   end
	JMP  next

forked:
	TESTQ AX, AX
	JNZ  next
	MOVQ 80(R12), R13
	MOVQ 88(R12), R14
	JMP  loop

again:
	MOVQ 64(R12), R13
	MOVQ 72(R12), R14
	JMP  loop

inside:
	MOVQ 8(R13), DI
	CMPB (DI), $0x2f // the working directory begins with a slash
	JEQ  next
	MOVQ $18, AX     // EXDEV
	JMP  fail

next:
	ADDQ $80, R13
	DECQ R14
	JMP  loop

find:
	MOVQ 24(R12), R15

candidate:
	MOVQ  (R15), SI
	MOVQ  $2, AX     // ENOENT
	TESTQ SI, SI
	JZ    fail
	MOVQ  $439, AX   // faccessat2
	MOVQ  $-100, DI  // AT_FDCWD
	MOVQ  $1, DX     // X_OK
	MOVQ  $0x200, R10 // AT_EACCESS
	SYSCALL
	TESTQ AX, AX
	JZ    found
	NEGQ  AX
	CMPQ  AX, $38    // ENOSYS, EPERM: a filter, who knows
	JEQ   fail
	CMPQ  AX, $1
	JEQ   fail
	ADDQ  $8, R15
	JMP   candidate

found:
	MOVQ SI, BX
	JMP  next

run:
	MOVQ $59, AX // execve
	MOVQ BX, DI
	MOVQ 32(R12), SI
	MOVQ 40(R12), DX
	SYSCALL
	NEGQ AX
	MOVQ 56(R12), DX
	JMP  tell

fail:
	MOVQ 72(R13), DX

tell:
	MOVL DX, 48(R12)
	MOVL AX, 52(R12)
	MOVQ $1, AX      // write
	MOVQ 16(R12), DI
	LEAQ 48(R12), SI
	MOVQ $8, DX
	SYSCALL

end:
	MOVQ $60, AX // exit
	MOVQ $1, DI
	SYSCALL
	XORL AX, AX
	MOVQ AX, (AX) // a filter may forbid that; there is one more way to end
	JMP  end

	// Here it ends (codeEnd).
	BYTE $0xb1; BYTE $0xe7; BYTE $0x0f; BYTE $0x0b; BYTE $0xe7; BYTE $0xb1; BYTE $0x0f; BYTE $0x0b

DATA ·trampolineStart(SB)/8, $·trampolineText(SB)
GLOBL ·trampolineStart(SB), RODATA, $8
