"""A headless Chromium, driven by Debian's selenium."""
import time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service


class Browser:
    def __enter__(self):
        o = Options()
        for a in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
            o.add_argument(a)
        o.binary_location = "/usr/bin/chromium"
        o.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=o)
        self.driver.set_page_load_timeout(30)
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def view(self, width, height, dark):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def open(self, url):
        self.driver.get(url)

    def script(self, text):
        return self.driver.execute_script(text)

    def until(self, text, seconds=20):
        """What `text`, JavaScript, returns once that is true."""
        end = time.monotonic() + seconds
        while True:
            r = self.script("return " + text)
            if r:
                return r
            if time.monotonic() > end:
                raise AssertionError("waited %d s for %s; the page says: %s" % (seconds, text, self.script("return document.body.innerText")))
            time.sleep(0.05)

    def ready(self):
        return self.until("document.body.dataset.asked")

    def picture(self, path):
        """The whole page, however long."""
        height = self.script("return document.documentElement.scrollHeight")
        width = self.script("return innerWidth")
        r = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": {
            "x": 0, "y": 0, "width": width, "height": height, "scale": 1}})
        import base64
        with open(path, "wb") as f:
            f.write(base64.b64decode(r["data"]))

    def complaints(self):
        """What the browser's console has, such as breaches of the page's own policy."""
        return [x["message"] for x in self.driver.get_log("browser")]
