/* A server that speaks enough S3 for the transfer benches and throws away what it is sent, faster than any
 * client can send it. Every GET and HEAD is answered from one mapped file, whatever the key.
 * null_s3 DATA_FILE [CERT KEY]: prints its port, then serves until it is killed. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_MAX = 1 << 16, BODY_MAX = 1 << 18 };

static SSL_CTX *tls;
static int data_fd;
static const char *data;
static size_t data_size;

typedef struct {
    int fd;
    SSL *ssl;
} Peer;

static ssize_t peer_read(Peer *peer, char *into, size_t size) {
    return peer->ssl ? SSL_read(peer->ssl, into, (int)size) : read(peer->fd, into, size);
}

static int peer_write(Peer *peer, const char *from, size_t size) {
    while (size) {
        size_t now = size < (1u << 20) ? size : (1u << 20);
        ssize_t sent = peer->ssl ? SSL_write(peer->ssl, from, (int)now) : write(peer->fd, from, now);
        if (sent <= 0) return 0;
        from += sent;
        size -= (size_t)sent;
    }
    return 1;
}

static const char *field(const char *head, const char *name) {
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        size_t length = strlen(name);
        if (!strncasecmp(line + 2, name, length) && line[2 + length] == ':') {
            line += 3 + length;
            while (*line == ' ') line++;
            return line;
        }
    }
    return NULL;
}

static int answer(Peer *peer, const char *status, const char *more, const char *body) {
    char out[4096];
    int size = snprintf(out, sizeof out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body), more, body);
    return peer_write(peer, out, (size_t)size);
}

static int serve_get(Peer *peer, const char *head, int only_head) {
    unsigned long from = 0, last = data_size - 1;
    const char *range = field(head, "range");
    if (range) sscanf(range, "bytes=%lu-%lu", &from, &last);
    if (last >= data_size) last = data_size - 1;
    size_t size = last - from + 1;
    char out[1024], part[128] = "";
    if (range) snprintf(part, sizeof part, "Content-Range: bytes %lu-%lu/%zu\r\n", from, last, data_size);
    int length = snprintf(out, sizeof out,
        "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%sETag: \"null\"\r\nAccept-Ranges: bytes\r\n"
        "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
        range ? "206 Partial Content" : "200 OK", size, part);
    if (!peer_write(peer, out, (size_t)length)) return 0;
    if (only_head) return 1;
    if (peer->ssl) return peer_write(peer, data + from, size);
    off_t at = (off_t)from;
    while (size) {
        ssize_t sent = sendfile(peer->fd, data_fd, &at, size);
        if (sent <= 0) return 0;
        size -= (size_t)sent;
    }
    return 1;
}

typedef struct {
    Peer *peer;
    char *bytes;
    size_t at, end;
} Body;

/* Takes `size` bytes; the last of them, or -1 when the peer is gone. */
static int drop(Body *body, size_t size) {
    int last = 0;
    while (size) {
        if (body->at == body->end) {
            ssize_t got = peer_read(body->peer, body->bytes, BODY_MAX);
            if (got <= 0) return -1;
            body->at = 0;
            body->end = (size_t)got;
        }
        size_t now = body->end - body->at < size ? body->end - body->at : size;
        body->at += now;
        size -= now;
        last = (unsigned char)body->bytes[body->at - 1];
    }
    return last;
}

static int drop_chunked(Body *body) {
    for (;;) {
        size_t size = 0;
        for (int c = drop(body, 1); c != '\n'; c = drop(body, 1)) {
            if (c < 0) return 0;
            if (c >= '0' && c <= '9') size = size * 16 + (size_t)(c - '0');
            else if (c >= 'a' && c <= 'f') size = size * 16 + (size_t)(c - 'a' + 10);
            else if (c >= 'A' && c <= 'F') size = size * 16 + (size_t)(c - 'A' + 10);
        }
        if (drop(body, size + 2) < 0) return 0;
        if (!size) return 1;
    }
}

static int serve_write(Peer *peer, const char *head, char *buffer, const char *begun, size_t here) {
    const char *length = field(head, "content-length");
    Body body = {peer, buffer, 0, here};
    memcpy(buffer, begun, here);
    if (field(head, "expect") && !peer_write(peer, "HTTP/1.1 100 Continue\r\n\r\n", 25)) return 0;
    if (field(head, "transfer-encoding")) {
        if (!drop_chunked(&body)) return 0;
    } else if (drop(&body, length ? strtoul(length, NULL, 10) : 0) < 0) {
        return 0;
    }
    char line[HEAD_MAX];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(head, "\r"), head);
    if (strncmp(line, "POST", 4)) return answer(peer, "200 OK", "ETag: \"null\"\r\n", "");
    if (strstr(line, "uploadId="))
        return answer(peer, "200 OK", "", "<CompleteMultipartUploadResult><Location>l</Location><Bucket>b</Bucket>"
            "<Key>k</Key><ETag>\"null\"</ETag></CompleteMultipartUploadResult>");
    return answer(peer, "200 OK", "", "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>"
        "<UploadId>one</UploadId></InitiateMultipartUploadResult>");
}

static int serve_one(Peer *peer, char *head, char *body, size_t *kept) {
    size_t size = *kept;
    char *end;
    head[size] = 0;
    while (!(end = strstr(head, "\r\n\r\n"))) {
        if (size >= HEAD_MAX - 1) return 0;
        ssize_t got = peer_read(peer, head + size, HEAD_MAX - 1 - size);
        if (got <= 0) return 0;
        size += (size_t)got;
        head[size] = 0;
    }
    size_t here = size - (size_t)(end + 4 - head);
    end[2] = 0;
    *kept = 0; /* no client of ours sends a request before the answer to the last one */
    if (!strncmp(head, "GET", 3)) return serve_get(peer, head, 0);
    if (!strncmp(head, "HEAD", 4)) return serve_get(peer, head, 1);
    if (!strncmp(head, "DELETE", 6)) return answer(peer, "204 No Content", "", "");
    return serve_write(peer, head, body, end + 4, here);
}

static void *serve(void *given) {
    Peer peer = {(int)(long)given, NULL};
    int one = 1;
    setsockopt(peer.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    char *head = malloc(HEAD_MAX), *body = malloc(BODY_MAX);
    size_t kept = 0;
    if (tls) {
        peer.ssl = SSL_new(tls);
        SSL_set_fd(peer.ssl, peer.fd);
        if (SSL_accept(peer.ssl) != 1) goto done;
    }
    while (serve_one(&peer, head, body, &kept)) {
    }
done:
    if (peer.ssl) SSL_free(peer.ssl);
    close(peer.fd);
    free(head);
    free(body);
    return NULL;
}

int main(int count, char **given) {
    struct stat info;
    signal(SIGPIPE, SIG_IGN);
    data_fd = open(given[1], O_RDONLY);
    if (data_fd < 0 || fstat(data_fd, &info)) return 1;
    data_size = (size_t)info.st_size;
    data = mmap(NULL, data_size, PROT_READ, MAP_SHARED | MAP_POPULATE, data_fd, 0);
    if (count > 3) {
        tls = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_read_ahead(tls, 1);
        SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256"); /* what the large stores choose */
        if (SSL_CTX_use_certificate_chain_file(tls, given[2]) != 1) return 1;
        if (SSL_CTX_use_PrivateKey_file(tls, given[3], SSL_FILETYPE_PEM) != 1) return 1;
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 128)) return 1;
    getsockname(listener, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        long fd = accept(listener, NULL, NULL);
        pthread_t thread;
        if (fd >= 0 && !pthread_create(&thread, NULL, serve, (void *)fd)) pthread_detach(thread);
    }
}
