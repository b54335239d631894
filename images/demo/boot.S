/* SPDX-License-Identifier: Apache-2.0
 * boot.S - a guest in one boot sector, for tests that need a machine but no operating system.
 *
 * It prints BOOTSECTOR-READY to the first serial port 0.1 s after power-on, even without hardware acceleration. Then it echoes
 * every byte it receives; 'q' powers the machine off. It does not handle ACPI: it ignores the power button, as a test of a
 * forced shutdown requires. Assembled with -DPOWER_BUTTON, it powers the machine off when the button is pressed, for tests of
 * a graceful shutdown (tests/blackbox/button.py). It sees the button at the BIOS's next timer tick, at most 55 ms later.
 *
 * The CPU is halted between bytes. The receive interrupt of the UART (IRQ 4, vector 0x0c in the BIOS's layout) wakes it. The
 * handler only acknowledges the interrupt; the main loop reads the bytes, with interrupts disabled except during hlt.
 */
	.code16
	.globl	_start

	.set	UART, 0x3f8		/* data; +1 interrupt enable, +2 FIFO, +4 modem control, +5 line status */
	.set	PM1_STATUS, 0x600	/* where SeaBIOS puts them on q35 and pc */
	.set	PM1_ENABLE, 0x602
	.set	PM1_CONTROL, 0x604
	.set	BUTTON, 0x0100		/* in the first two */
	.set	SLEEP_S5, 0x2000

_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$0x7c00, %sp
	cld
	ljmp	$0, $1f
1:
	movw	$woken, 0x0c * 4
	movw	%ax, 0x0c * 4 + 2

	movw	$UART + 2, %dx		/* FIFOs on and empty */
	movb	$0x07, %al
	outb	%al, %dx
	movw	$UART + 1, %dx		/* interrupt on received data */
	movb	$0x01, %al
	outb	%al, %dx
	movw	$UART + 4, %dx		/* DTR, RTS, and OUT2: lets the interrupt through */
	movb	$0x0b, %al
	outb	%al, %dx
	inb	$0x21, %al		/* unmask IRQ 4 */
	andb	$~0x10, %al
	outb	%al, $0x21

#ifdef POWER_BUTTON
	movw	$PM1_ENABLE, %dx	/* QEMU sets the status only if the event is enabled */
	movw	$BUTTON, %ax
	outw	%ax, %dx
#endif

	movw	$message, %si
2:	lodsb
	testb	%al, %al
	jz	wait
	call	put
	jmp	2b

wait:
#ifdef POWER_BUTTON
	movw	$PM1_STATUS, %dx
	inw	%dx, %ax
	testw	$BUTTON, %ax
	jnz	pressed
#endif
	movw	$UART + 5, %dx
	inb	%dx, %al
	testb	$0x01, %al
	jnz	3f
	sti				/* takes effect after hlt, so no interrupt is lost between the two */
	hlt
	cli
	jmp	wait

3:	movw	$UART, %dx
	inb	%dx, %al
	cmpb	$'q', %al
	je	off
	call	put
	jmp	wait

#ifdef POWER_BUTTON
pressed:
	movw	$goodbye, %si
5:	lodsb
	testb	%al, %al
	jz	off
	call	put
	jmp	5b
#endif

off:	movw	$PM1_CONTROL, %dx
	movw	$SLEEP_S5, %ax
	outw	%ax, %dx
	hlt
	jmp	off

/* Wait until the transmitter is ready, then send %al. */
put:	movb	%al, %ah
4:	movw	$UART + 5, %dx
	inb	%dx, %al
	testb	$0x20, %al
	jz	4b
	movb	%ah, %al
	movw	$UART, %dx
	outb	%al, %dx
	ret

woken:	pushw	%ax
	movb	$0x20, %al
	outb	%al, $0x20
	popw	%ax
	iret

message:
	.asciz	"BOOTSECTOR-READY\r\nboot.progress: done\r\n"

#ifdef POWER_BUTTON
goodbye:
	.asciz	"shutdown.progress: powering off\r\n"
#endif

	.org	510
	.word	0xaa55
