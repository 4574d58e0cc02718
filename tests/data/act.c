/* The interpreter of an image that has nothing else: does what the lines of a script say, and stops where it cannot. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static void show(const char *path)
{
	char text[4096];
	int file = open(path, O_RDONLY), size;

	check(file, path);
	while ((size = read(file, text, sizeof text)) > 0)
		check(write(1, text, size), "output");
}

static void follow(const char *path)
{
	char text[4096];
	int size = readlink(path, text, sizeof text - 1);

	check(size, path);
	text[size] = 0;
	puts(text);
}

static void meet(int (*call)(int, const struct sockaddr *, socklen_t), const char *host, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, host, &address.sin_addr);
	check(call(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address), host);
}

static void leave_behind(const char *name)
{
	if (fork() == 0) {
		setsid();
		execl("/bin/act", "act", "pause", name, NULL);
	}
}

static void act(const char *word, const char *rest)
{
	if (!strcmp(word, "say"))
		printf("%s\n", rest);
	else if (!strcmp(word, "exit"))
		exit(atoi(rest));
	else if (!strcmp(word, "read"))
		show(rest);
	else if (!strcmp(word, "link"))
		follow(rest);
	else if (!strcmp(word, "write"))
		check(open(rest, O_CREAT | O_WRONLY, 0666), rest);
	else if (!strcmp(word, "open-to-all"))
		check(chmod(rest, 0666), rest);
	else if (!strcmp(word, "keyring"))
		check(syscall(SYS_add_key, "user", "x", "x", 1, -4), word); /* @u */
	else if (!strcmp(word, "who"))
		printf("%d:%d %s\n", getuid(), getgid(), get_current_dir_name());
	else if (!strcmp(word, "environment"))
		for (char **each = environ; *each; each++)
			printf("%s\n", *each);
	else if (!strcmp(word, "connect"))
		meet(connect, rest, 80);
	else if (!strcmp(word, "bind"))
		meet(bind, "127.0.0.1", atoi(rest));
	else if (!strcmp(word, "daemon"))
		leave_behind(rest);
	else if (!strcmp(word, "die"))
		*(volatile int *)NULL = 0; /* not by kill(2), which process 1 of a container does not heed */
	else if (!strcmp(word, "pause"))
		pause();
	else if (!strcmp(word, "flood"))
		while (printf("%s\n", rest) > 0)
			;
	else
		check(-1, word);
}

int main(int count, char **words)
{
	char line[4096], *rest;
	FILE *script;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count == 3) {
		act(words[1], words[2]);
		return 0;
	}
	script = fopen(words[1], "r");
	check(script ? 0 : -1, words[1]);
	while (fgets(line, sizeof line, script)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0] == '#' || !line[0])
			continue;
		rest = strchr(line, ' ');
		if (rest)
			*rest++ = 0;
		act(line, rest ? rest : "");
	}
	return 0;
}
