/* Says hello and names what it runs on: the smallest program that shows a root to be whole. */
#include <stdio.h>
#include <sys/utsname.h>

int main(void)
{
	struct utsname kernel;

	if (uname(&kernel) != 0) {
		perror("uname");
		return 1;
	}
	printf("Hello from an image that quern built (%s, %s).\n", kernel.sysname, kernel.machine);
	return fflush(stdout) == 0 ? 0 : 1;
}
